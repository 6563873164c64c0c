"""How far does it reach: people, seconds, bytes and requests, from a handful of images to 100 million?"""
