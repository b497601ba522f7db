"""Ways of finetuning: one file each, a frozen recipe that `models.finetune.finetune` follows."""
