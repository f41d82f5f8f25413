"""The twin's commands: `trimload NAME ...` finds them through the entry points trimload.commands."""
