"""From numbers to pages and pictures: the report, its table and charts, and comparisons."""

from s2bnn_tf.report.all_words import FoundByWords, write_words_page
from s2bnn_tf.report.calibration_charts import draw_calibration
from s2bnn_tf.report.compare import compare_models, describe_comparison
from s2bnn_tf.report.page import write_report, write_run_report
from s2bnn_tf.report.pictures import WordRow, thumbnails_of
from s2bnn_tf.report.stored import read_column, read_gallery, read_mistakes
from s2bnn_tf.report.table import ReportColumn
from s2bnn_tf.report.words import describe_calibration, describe_low_label

__all__ = [
    "FoundByWords",
    "ReportColumn",
    "WordRow",
    "compare_models",
    "describe_calibration",
    "describe_comparison",
    "describe_low_label",
    "draw_calibration",
    "read_column",
    "read_gallery",
    "read_mistakes",
    "thumbnails_of",
    "write_report",
    "write_run_report",
    "write_words_page",
]
