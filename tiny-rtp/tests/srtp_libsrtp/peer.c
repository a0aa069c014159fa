/* libsrtp2 behind a pipe: reads packets, protects or unprotects them, writes them back.
 * peer <profile> <protect|unprotect> <key and salt in hex> [<MKI in hex>]
 * Each packet is a kind ('R' for RTP, 'C' for RTCP), two octets of length, and its octets; each reply is
 * the status of libsrtp2, two octets of length, and the octets.
 * peer version prints which libsrtp2 this is.
 * peer <profile> bench <key> <payload octets> instead waits for lines and answers each with the nanoseconds that a
 * packet took in a round. */
#include <srtp2/srtp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static size_t unhex(const char *text, unsigned char *out, size_t max)
{
    size_t n = 0;
    unsigned octet;
    while (n < max && sscanf(text + 2 * n, "%2x", &octet) == 1)
        out[n++] = (unsigned char)octet;
    return n;
}

static int set_profile(const char *name, srtp_policy_t *p)
{
    if (!strcmp(name, "AesCm128HmacSha1_80")) {
        srtp_crypto_policy_set_rtp_default(&p->rtp);
        srtp_crypto_policy_set_rtcp_default(&p->rtcp);
    } else if (!strcmp(name, "AesCm128HmacSha1_32")) {
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32(&p->rtp);
        srtp_crypto_policy_set_rtcp_default(&p->rtcp);
    } else if (!strcmp(name, "AesCm192HmacSha1_80")) {
        srtp_crypto_policy_set_aes_cm_192_hmac_sha1_80(&p->rtp);
        srtp_crypto_policy_set_aes_cm_192_hmac_sha1_80(&p->rtcp);
    } else if (!strcmp(name, "AesCm192HmacSha1_32")) {
        srtp_crypto_policy_set_aes_cm_192_hmac_sha1_32(&p->rtp);
        srtp_crypto_policy_set_aes_cm_192_hmac_sha1_80(&p->rtcp);
    } else if (!strcmp(name, "AesCm256HmacSha1_80")) {
        srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(&p->rtp);
        srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(&p->rtcp);
    } else if (!strcmp(name, "AesCm256HmacSha1_32")) {
        srtp_crypto_policy_set_aes_cm_256_hmac_sha1_32(&p->rtp);
        srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(&p->rtcp);
    } else if (!strcmp(name, "AeadAes128Gcm")) {
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&p->rtp);
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&p->rtcp);
    } else if (!strcmp(name, "AeadAes256Gcm")) {
        srtp_crypto_policy_set_aes_gcm_256_16_auth(&p->rtp);
        srtp_crypto_policy_set_aes_gcm_256_16_auth(&p->rtcp);
    } else if (!strcmp(name, "NullHmacSha1_80") || !strcmp(name, "NullHmacSha1_32")) {
        srtp_crypto_policy_set_null_cipher_hmac_sha1_80(&p->rtp);
        srtp_crypto_policy_set_null_cipher_hmac_sha1_80(&p->rtcp);
        if (strstr(name, "_32"))
            p->rtp.auth_tag_len = 4;
    } else {
        return -1;
    }
    return 0;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* One line in, one line out: nanoseconds to protect and to unprotect a packet. */
static int bench(srtp_policy_t *policy, size_t payload)
{
    enum { COUNT = 2000 };
    static unsigned char packets[COUNT][2048];
    srtp_t sender, receiver;
    uint16_t sequence = 0;
    char line[16];
    policy->ssrc.type = ssrc_any_outbound;
    if (srtp_create(&sender, policy))
        return 1;
    policy->ssrc.type = ssrc_any_inbound;
    if (srtp_create(&receiver, policy))
        return 1;
    while (fgets(line, sizeof line, stdin)) {
        int len[COUNT];
        for (int i = 0; i < COUNT; i++, sequence++) {
            unsigned char head[12] = {0x80, 96, sequence >> 8, sequence & 255, 0, 0, 0, 1, 0, 0, 0, 7};
            memcpy(packets[i], head, 12);
            memset(packets[i] + 12, 0x55, payload);
            len[i] = (int)(12 + payload);
        }
        double start = now();
        for (int i = 0; i < COUNT; i++)
            if (srtp_protect(sender, packets[i], &len[i]))
                return 1;
        double middle = now();
        for (int i = 0; i < COUNT; i++)
            if (srtp_unprotect(receiver, packets[i], &len[i]))
                return 1;
        printf("%.2f %.2f\n", (middle - start) / COUNT, (now() - middle) / COUNT);
        fflush(stdout);
    }
    return 0;
}

int main(int argc, char **argv)
{
    static unsigned char key[64], mki[128], buffer[70000];
    srtp_policy_t policy;
    srtp_t session;
    srtp_master_key_t master;
    srtp_master_key_t *masters[1] = {&master};
    unsigned int use_mki = 0;
    if (argc == 2 && !strcmp(argv[1], "version")) {
        puts(srtp_get_version_string());
        return 0;
    }
    if (argc < 4)
        return 2;
    int protect = !strcmp(argv[2], "protect");
    memset(&policy, 0, sizeof policy);
    if (srtp_init() || set_profile(argv[1], &policy))
        return 3;
    unhex(argv[3], key, sizeof key);
    policy.key = key;
    policy.window_size = 1024;
    policy.ssrc.type = protect ? ssrc_any_outbound : ssrc_any_inbound;
    if (!strcmp(argv[2], "bench"))
        return argc > 4 ? bench(&policy, (size_t)atoi(argv[4])) : 2;
    if (argc > 4) {
        master.key = key;
        master.mki_id = mki;
        master.mki_size = (unsigned int)unhex(argv[4], mki, sizeof mki);
        policy.key = NULL;
        policy.keys = masters;
        policy.num_master_keys = 1;
        use_mki = 1;
    }
    if (srtp_create(&session, &policy))
        return 4;
    for (;;) {
        int kind = getchar(), high = getchar(), low = getchar();
        if (kind == EOF || high == EOF || low == EOF)
            return 0;
        int len = high << 8 | low;
        if (fread(buffer, 1, (size_t)len, stdin) != (size_t)len)
            return 5;
        int status;
        if (kind == 'R')
            status = protect ? srtp_protect_mki(session, buffer, &len, use_mki, 0)
                             : srtp_unprotect_mki(session, buffer, &len, use_mki);
        else
            status = protect ? srtp_protect_rtcp_mki(session, buffer, &len, use_mki, 0)
                             : srtp_unprotect_rtcp_mki(session, buffer, &len, use_mki);
        putchar(status);
        putchar(len >> 8);
        putchar(len & 255);
        fwrite(buffer, 1, (size_t)len, stdout);
    }
}
