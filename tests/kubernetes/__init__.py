"""The manifests for Kubernetes, against its schemas and our code. No cluster runs them here."""
