"""Where exports come from: files, folders, archives and pipes. Whatever it is, it becomes readable files."""
