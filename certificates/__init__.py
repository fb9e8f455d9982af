"""Obtains and renews the certificate of STACK_HOSTS by ACME (STACK_ACME), with Debian's certbot.

A service of its own beside nginx. nginx starts with a self-signed certificate, shows the answers to
challenges from a shared directory, and reads the new files within seconds.
"""
