"""The shell: sources, exports, flows and the command line. Only here do files, clocks and Prefect appear."""
