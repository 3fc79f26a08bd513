"""Load per time bin, forecast and scored against naive forecasts."""
