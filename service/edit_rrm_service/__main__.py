"""`python -m edit_rrm_service`: the same as `edit-rrm`."""

from edit_rrm_service.cli import main

# vLLM starts its engine in a spawned process, which imports this module again.
if __name__ == "__main__":
    main()
