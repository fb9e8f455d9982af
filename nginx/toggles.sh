# shellcheck shell=sh
# Generated from toggles/table.py by `make docs`: defaults and allowed values of nginx's
# toggles. nginx/entrypoint sources it and has the functions that it calls.
STACK_HOSTS=$(hosts STACK_HOSTS "${STACK_HOSTS-}" 'host names without scheme or port, separated by commas (.example.org also matches its subdomains)') || exit
STACK_TLS=$(switch STACK_TLS "${STACK_TLS-off}" 'on or off (or true/false, yes/no, 1/0)') || exit
STACK_TLS_PORT=$(whole STACK_TLS_PORT "${STACK_TLS_PORT-8443}" 'a whole number from 1 to 65535' 1 65535) || exit
STACK_PREFIX=$(pattern STACK_PREFIX "${STACK_PREFIX-}" 'a path such as /shop, without / at its end' '(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*') || exit
STACK_MERGE_SLASHES=$(switch STACK_MERGE_SLASHES "${STACK_MERGE_SLASHES-on}" 'on or off (or true/false, yes/no, 1/0)') || exit
STACK_BODY_LIMIT=$(whole STACK_BODY_LIMIT "${STACK_BODY_LIMIT-1}" 'a whole number from 1 to 1024 (MiB)' 1 1024) || exit
STACK_CLIENT_REQUESTS=$(whole STACK_CLIENT_REQUESTS "${STACK_CLIENT_REQUESTS-256}" 'a whole number from 0 to 1024 (0: no limit)' 0 1024) || exit
STACK_TRUSTED_PROXIES=$(networks STACK_TRUSTED_PROXIES "${STACK_TRUSTED_PROXIES-}" 'networks like 10.0.0.0/8 or fd00::/8, separated by commas, none wider than /8') || exit
STACK_PROXY_PROTOCOL=$(switch STACK_PROXY_PROTOCOL "${STACK_PROXY_PROTOCOL-off}" 'on or off (or true/false, yes/no, 1/0)') || exit
STACK_SOCKET=$(pattern STACK_SOCKET "${STACK_SOCKET-unix}" 'unix or tcp' 'unix|tcp') || exit
STACK_STREAM_PATHS=$(paths STACK_STREAM_PATHS "${STACK_STREAM_PATHS-}" 'paths such as /events, separated by commas') || exit
STACK_CSP=$(pattern STACK_CSP "${STACK_CSP-default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'}" 'a Content-Security-Policy in one line' '[A-Za-z0-9 ;:/.,*?=&%+_'"'"'-]+') || exit
STACK_HARAKIRI=$(whole STACK_HARAKIRI "${STACK_HARAKIRI-30}" 'a whole number from 1 to 60 (seconds)' 1 60) || exit
STACK_BUFFER_SIZE=$(whole STACK_BUFFER_SIZE "${STACK_BUFFER_SIZE-32768}" 'a whole number from 8192 to 65535 (bytes)' 8192 65535) || exit
STACK_LOGIN_RATE=$(whole STACK_LOGIN_RATE "${STACK_LOGIN_RATE-30}" 'a whole number from 0 to 6000 (0: no limit)' 0 6000) || exit
STACK_LOGIN_PATHS=$(paths STACK_LOGIN_PATHS "${STACK_LOGIN_PATHS-/auth/login,/auth/register,/auth/reauthenticate,/auth/password}" 'paths such as /events, separated by commas') || exit
