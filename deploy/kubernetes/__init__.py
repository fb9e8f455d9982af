"""The stack on Kubernetes, as Kustomize overlays."""
