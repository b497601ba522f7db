"""Ways of finetuning: one file each, a frozen recipe that `models.finetuning.method.finetune` follows."""
