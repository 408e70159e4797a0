"""What people look at: the HTML report and the pages of the UI."""
