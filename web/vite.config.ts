// Build and development server of the web app. The build goes where the service serves it from.
import { fileURLToPath } from 'node:url';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

const service = process.env.TIDEMILL_URL ?? 'http://127.0.0.1:8484';

export default defineConfig({
  plugins: [react()],
  resolve: { alias: { '@': fileURLToPath(new URL('./src', import.meta.url)) } },
  build: {
    outDir: '../src/tidemill/service/web',
    emptyOutDir: true,
    target: 'es2023',
    chunkSizeWarningLimit: 900,
  },
  worker: { format: 'es' },
  server: {
    host: '127.0.0.1',
    port: 5173,
    proxy: Object.fromEntries(
      ['/api', '/stream', '/ws'].map((path) => [path, { target: service, ws: true }]),
    ),
  },
  test: { include: ['tests/**/*.test.{ts,tsx}'], environment: 'node', fileParallelism: false },
});
