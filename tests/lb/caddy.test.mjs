// Caddy with deploy/lb/Caddyfile: what holds behind all of them, and what is its own.
import { Site } from './site.mjs';
import { facts } from './facts.mjs';

const site = await Site.start('caddy');
facts(site);
