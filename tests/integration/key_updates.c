/* key_updates PORT COUNT: a client of TLS 1.3 that changes its keys COUNT times; then a request. Prints
 * how many times it could, and the first line of the answer. */
#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char answer[64] = "";
    int changed = 0, wanted = argc > 2 ? atoi(argv[2]) : 0, fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)atoi(argv[1]))};
    static const char request[] = "GET /nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    SSL *tls = SSL_new(SSL_CTX_new(TLS_client_method()));
    signal(SIGPIPE, SIG_IGN);
    SSL_set_fd(tls, fd);
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0 || SSL_connect(tls) != 1)
        return 1;
    while (changed < wanted && SSL_key_update(tls, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 && SSL_do_handshake(tls) == 1)
        ++changed;
    if (SSL_write(tls, request, sizeof(request) - 1) > 0 && SSL_read(tls, answer, sizeof(answer) - 1) < 0)
        answer[0] = '\0';
    printf("%d %.*s\n", changed, (int)strcspn(answer, "\r"), answer);
    return 0;
}
