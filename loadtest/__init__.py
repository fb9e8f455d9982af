"""Load tests of the running stack with Locust.

``python -m loadtest`` opens Locust's web page; ``--profile spike`` runs headless.
"""
