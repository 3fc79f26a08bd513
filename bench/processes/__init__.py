"""Worker processes: started without the caller's script, and a pool of them."""
