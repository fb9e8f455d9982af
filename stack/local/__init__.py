"""The stack as local processes: the containers' nginx, uWSGI and Redis files under supervisord."""
