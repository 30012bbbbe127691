"""What a campaign would come to, before anything is sent: its jobs, what is left out, and when it would be done."""
