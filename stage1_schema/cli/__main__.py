"""`python -m stage1_schema.cli` is `stage1`."""

from stage1_schema.cli import main

if __name__ == "__main__":
    main()
