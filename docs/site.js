// A search shows parts of the pages found: opened from files, none may be fetched.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false
