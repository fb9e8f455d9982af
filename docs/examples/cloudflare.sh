#!/bin/sh
# Prints STACK_TRUSTED_PROXIES with the ranges that Cloudflare publishes today. Prints nothing and fails if
# it cannot read both lists.
#
#   line=$(docs/examples/cloudflare.sh) && echo "$line" >>.env && make down up
#
# The ranges change a few times a year: run it monthly, and delete the older line. Also in .env:
# STACK_HOSTS, STACK_TLS=on, STACK_TLS_PORT=443, STACK_PORT=80 and STACK_BIND=0.0.0.0. Cloudflare's mode must
# be "Full (strict)" with a certificate of its Origin CA or of Let's Encrypt.
# (!) A firewall must admit only these ranges: otherwise anybody reaches nginx without Cloudflare.
set -eu
from=${CLOUDFLARE:-https://www.cloudflare.com}
v4=$(curl --fail --silent --show-error --max-time 20 "$from/ips-v4")
v6=$(curl --fail --silent --show-error --max-time 20 "$from/ips-v6")
printf 'STACK_TRUSTED_PROXIES=%s\n' "$(printf '%s\n%s\n' "$v4" "$v6" | paste -sd , -)"
