"""Features of pictures, for search or clustering: python embed.py photos/ --output out.npz"""

import argparse
import sys
from pathlib import Path

import numpy as np
from s2bnn_runtime.few_shot import Embedder
from s2bnn_runtime.images import picture_files
from s2bnn_runtime.shards import read_shard, take_shard

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Do what the command line asks for, and return the exit code."""
    parser = argparse.ArgumentParser(description="Compute the features of pictures.")
    parser.add_argument("pictures", nargs="+", type=Path, help="Picture files, and folders.")
    parser.add_argument(
        "--output", type=Path, default=Path("features.npz"), help="Default: features.npz."
    )
    parser.add_argument("--threads", type=int, default=1, help="Default: 1.")
    parser.add_argument(
        "--shard",
        type=read_shard,
        default=(1, 1),
        metavar="I/N",
        help="Only the I-th of N parts, from 1 on, one for each of N workers.",
    )
    options = parser.parse_args()
    files = take_shard(picture_files(options.pictures), options.shard)
    embedder = Embedder(HERE / "encoder.tflite", options.threads)
    read, features, errors = embedder.readable(files)
    np.savez(options.output, paths=np.array([str(path) for path in read]), features=features)
    print(f"{len(features)} pictures, {features.shape[1]} features each: {options.output}")
    for error in errors:
        print(f"embed.py: {error}", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, ValueError) as error:
        sys.exit(f"embed.py: {error}")
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        sys.exit(130)
