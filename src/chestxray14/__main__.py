"""Ask a trained model about radiographs of yours, or take it elsewhere."""

from chestxray14.inference.cli import main

main()
