"""Files of others: what they hold is found out, shown, mapped, checked and kept."""
