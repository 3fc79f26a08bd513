"""What every analysis builds on: faults, results and how they show themselves, whole files. No statistics."""
