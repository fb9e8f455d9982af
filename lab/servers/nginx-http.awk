# Translates the uwsgi directives of nginx's configuration into those of its proxy module.

# Both modules' folders for temporary files are there already.
$1 == "uwsgi_temp_path" { print; next }

$1 == "uwsgi_pass" { sub(/uwsgi_pass .*/, "proxy_pass http://app_over_http;"); print; next }

# HTTP_X_REAL_IP is the header X-Real-IP; one without a value is removed. What is no header (the
# method, the path, the length) is in the request itself.
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
