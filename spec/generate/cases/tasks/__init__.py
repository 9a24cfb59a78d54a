"""The fold over two chains."""
