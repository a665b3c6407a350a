"""What only a GPU can show: `python -m tests.gpu` runs it in a few minutes and prints a table.

It needs torch, transformers (with Pillow), numpy and OpenCV; no Ray, FFmpeg, pydantic or test media. It makes its own
checkpoints and pictures. `--device cpu` runs the same code on a CPU; what needs CUDA is then told as not run.
"""
