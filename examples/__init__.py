"""Examples that use finebayes on models from elsewhere."""
