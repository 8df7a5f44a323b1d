"""Any judge's server: one request, its price, its verdicts kept, all of them in a session."""
