"""One file per version: `upgrade` only ever adds; what is no longer used goes one release later."""
