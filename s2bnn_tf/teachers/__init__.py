"""The networks that guide a student: a run, a published name, a file, a function."""

import s2bnn_tf.checked  # noqa: F401
from s2bnn_tf.teachers.cache import (
    find_starter,
    get_teacher,
    list_teachers,
    teacher_digest,
    teacher_origin,
)
from s2bnn_tf.teachers.failures import teacher_failure, teacher_failures
from s2bnn_tf.teachers.feature_files import (
    FeatureRows,
    is_feature_file,
    read_features,
)
from s2bnn_tf.teachers.given import give_teacher
from s2bnn_tf.teachers.load_teacher import load_teacher, with_beside
from s2bnn_tf.teachers.match_features import match_features
from s2bnn_tf.teachers.network_encoder import NetworkEncoder
from s2bnn_tf.teachers.open_model import (
    locate_model,
    model_files,
    open_model,
    open_with_changes,
)
from s2bnn_tf.teachers.published import PUBLISHED, Published
from s2bnn_tf.teachers.space import read_space, teacher_space, write_space
from s2bnn_tf.teachers.stored_targets import (
    StoredTargets,
    check_same_file,
    features_of_pictures,
    fingerprint,
    targets_of_file,
    width_of_file,
)
from s2bnn_tf.teachers.target_cache import TargetCache, fill_from_teacher
from s2bnn_tf.teachers.target_map import TargetMap, fit_target_map, with_map
from s2bnn_tf.teachers.words import (
    EVERYDAY,
    WordVectors,
    in_words,
    make_words,
    read_list,
    read_pictures,
    read_vectors,
    read_words,
    write_words,
)

__all__ = [
    "EVERYDAY",
    "PUBLISHED",
    "FeatureRows",
    "NetworkEncoder",
    "Published",
    "StoredTargets",
    "TargetCache",
    "TargetMap",
    "WordVectors",
    "check_same_file",
    "features_of_pictures",
    "fill_from_teacher",
    "find_starter",
    "fingerprint",
    "fit_target_map",
    "get_teacher",
    "give_teacher",
    "in_words",
    "is_feature_file",
    "list_teachers",
    "load_teacher",
    "locate_model",
    "make_words",
    "match_features",
    "model_files",
    "open_model",
    "open_with_changes",
    "read_features",
    "read_list",
    "read_pictures",
    "read_space",
    "read_vectors",
    "read_words",
    "targets_of_file",
    "teacher_digest",
    "teacher_failure",
    "teacher_failures",
    "teacher_origin",
    "teacher_space",
    "width_of_file",
    "with_beside",
    "with_map",
    "write_space",
    "write_words",
]
