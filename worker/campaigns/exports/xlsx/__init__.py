"""Exports in Excel's .xlsx: a zip archive of XML, whose rows are read one at a time.

No library that is kept well reads a sheet of 1,048,576 rows in bounded memory and tells how a number is shown:
python-calamine holds the whole sheet (58 MB for 100,000 rows of 6 cells) and tells no formats; openpyxl holds every
text, and takes 61 to 80 µs for each such row, against 34 to 43 here. So the rows are read here, and openpyxl says what
a number's format and date mean.
"""
