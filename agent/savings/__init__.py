"""What the agent saved: figures of a period, and savings that an auditor can take apart."""
