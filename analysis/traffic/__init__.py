"""When requests come and whether they fail: volume, periodicity, arrivals, burstiness, failures."""
