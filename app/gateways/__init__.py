"""The only code that speaks to Prefect, S3, MLflow and Kubernetes: one module each."""
