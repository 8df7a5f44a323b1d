"""Our numbers beside published ones, and the rules under which two may be compared.

May import runs and interchange. Used by report and cli.
"""
