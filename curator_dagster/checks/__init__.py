"""Asset checks: declared with their asset, and evaluated after the table is committed."""
