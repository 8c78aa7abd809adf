"""Whether untrusted text can reach a decision through the model, shown or refused by condition."""
