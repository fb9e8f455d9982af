"""The stack on Docker Swarm: docker-compose.yml rendered for `docker stack deploy`."""
