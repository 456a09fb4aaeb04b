/* What HTTP's statuses are called (RFC 9110 section 15). */
#pragma once

/* "Not Found"; `otherwise` where the status is none of those that we and our servers use. */
const char *reason_phrase(int status, const char *otherwise);
