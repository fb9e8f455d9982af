"""``make plan``: how many machines, workers and Redis servers a number of requests needs."""
