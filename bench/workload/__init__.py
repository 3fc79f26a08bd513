"""Which requests to send and when: from a trace, from fitted parameters, or by a schedule."""
