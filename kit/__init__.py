"""What knows nothing of missions: the clock, the doorbell, errors, secrets, HTTP helpers."""
