"""What does the queue cost, how does that grow, and how much of it is the application's own doing?"""
