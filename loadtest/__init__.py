"""Load for the running stack: who the users are, how many come when, and what counts as broken.

``python -m loadtest`` opens Locust's web page; ``--profile spike`` runs headless.
"""
