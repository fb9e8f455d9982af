# Translates the uwsgi directives of nginx's configuration into those of its proxy module.

# The configuration has the temporary folders of both modules.
$1 == "uwsgi_temp_path" { print; next }

$1 == "uwsgi_pass" { sub(/uwsgi_pass .*/, "proxy_pass http://app_over_http;"); print; next }

# HTTP_X_REAL_IP is the header X-Real-IP; an empty value removes it. The other parameters (method, path,
# length) are in the HTTP request itself.
$1 == "uwsgi_param" {
    if ($2 !~ /^HTTP_/) next
    name = substr($2, 6)
    gsub("_", "-", name)
    value = $3
    sub(/;$/, "", value)
    print "proxy_set_header " name " " value ";"
    next
}

$1 ~ /^uwsgi_/ { sub(/uwsgi_/, "proxy_") }
{ print }
