"""The embedded synthetic BurstGPT, made from constants that were measured on the real one."""
