"""What tools/report.py is made of: runs, evaluation, figures, page."""
