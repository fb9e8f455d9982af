"""Load tests of the running stack with Locust.

``make loadtest`` opens Locust's web page; ``make loadtest PROFILE=spike`` runs headless.
"""
