/* Refuses, with 400 and the end of the connection, HTTP/1 requests that libh2o 2.2.5 takes but whose end or host a proxy in front
 * may see elsewhere (request smuggling): several Content-Length or Transfer-Encoding, both of them, Transfer-Encoding in HTTP/1.0,
 * folded lines, a bare LF, no method or path, no or several Host, and chunks whose framing is not exactly RFC 9112 section 7.1's.
 * A target in the absolute form becomes a path and a host. */
#pragma once

/* NULL, or the sentence why the library in this process can't be guarded; for the start. */
const char *h1_guard_start(void);
